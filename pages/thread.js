// A thread of the harness: the same module over the memory of the job's worker. Blocks until the job is over.
onmessage = async ({ data: { script, module, memory, number } }) => {
  let harness;
  try {
    harness = await import(script);
    await harness.default({ module_or_path: module, memory });
    postMessage({});
  } catch (error) {
    postMessage({ error: `${error?.name ?? "Error"}: ${error?.message ?? error}` });
    return;
  }
  try {
    harness.work(number);
  } catch (error) {
    // The job waits for this thread's part, which will never come.
    harness.thread_failed(number, `${error?.name ?? "Error"}: ${error?.message ?? error}`);
  }
  close();
};
