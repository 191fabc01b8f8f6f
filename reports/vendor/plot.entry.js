export { plot, areaY, barX, barY, dot, line, ruleX, ruleY, stackY, text, tickX } from "@observablehq/plot";
