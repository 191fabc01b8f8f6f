// What a runtime that is not ours asks of devices, seen from outside of it: the browser's own methods are wrapped
// before the runtime calls them. Facts only; what they prove is the controller's to say.
function wrap(owner, method, seen) {
  const kept = globalThis[owner]?.prototype?.[method];
  if (!kept) return;
  globalThis[owner].prototype[method] = function (...given) {
    const result = kept.apply(this, given);
    seen(this, result);
    return result;
  };
}

class Witness {
  // The latest of each that was made; undefined before.
  adapter;
  device;
  context;
  // What that device or that context was given to do.
  dispatches = 0;
  submits = 0;
  #makers = new WeakMap();

  constructor() {
    wrap("GPUAdapter", "requestDevice", async (adapter, made) => {
      const device = await made.catch(() => undefined);
      if (device) Object.assign(this, { adapter, device });
    });
    wrap("GPUDevice", "createCommandEncoder", (device, encoder) => this.#makers.set(encoder, device));
    wrap("GPUCommandEncoder", "beginComputePass", (encoder, pass) => this.#makers.set(pass, this.#makers.get(encoder)));
    for (const method of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
      wrap("GPUComputePassEncoder", method, (pass) => {
        if (this.device && this.#makers.get(pass) === this.device) this.dispatches += 1;
      });
    }
    wrap("GPUQueue", "submit", (queue) => {
      if (this.device?.queue === queue) this.submits += 1;
    });
    wrap("ML", "createContext", async (_, made) => {
      this.context = (await made.catch(() => undefined)) ?? this.context;
    });
    wrap("MLContext", "dispatch", (context) => {
      if (this.context === context) this.dispatches += 1;
    });
  }
}

export const watch = () => new Witness();
