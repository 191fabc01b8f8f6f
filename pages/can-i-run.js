// canIRun(JSON, "bert@tiny", await here()): {choice, place, exact}, or null, if unproven.
const kinds = [[/Edg/,"edge"], [/Firefox/,"firefox"], [/Chrome/,"chrome","chromium"], [/Linux/,"webkitgtk"], [/Safari/,"safari"]];
export const here = async () => ({ ua: navigator.userAgent, gpu: (await navigator.gpu?.requestAdapter())?.info });
export function canIRun({ places }, model, { ua, gpu }) {
  const kind = kinds.find(([k]) => k.test(ua)) ?? [];
  const own = /(Firefox|Chrome|Version).(\d+)/.exec(ua)?.[2];
  return places.filter((p) => kind.includes(p.kind)).map((place) => {
    const same = ["vendor","architecture"].every((k) => place.adapter?.[k] === gpu?.[k]);
    const far = Math.abs(parseInt(place.version) - own);
    const choice = place.models.find((m) => m.model + "@" + m.size === model)
      ?.choices.find((c) => same || c.backend === "wasm");
    return { choice, place, same, far, exact: same && far < 1 };
  }).filter((f) => f.choice).sort((a, b) => b.same - a.same || a.far - b.far)[0] ?? null;
}
