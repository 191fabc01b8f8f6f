-- Milliseconds that a browser's processes, or the host's, computed during an attempt: what tells a cell that claims a GPU and
-- computes on the CPU. Null where that cannot be seen.
ALTER TABLE attempt ADD COLUMN IF NOT EXISTS cpu_ms DOUBLE;

-- How the timed inferences of an attempt are spread. Outliers lie beyond three quartile ranges of the quartiles (Tukey's far
-- out): they are counted, and take part in everything.
CREATE OR REPLACE VIEW timing AS
WITH quartiles AS (
    SELECT attempt, quantile_cont(ms, [0.25, 0.5, 0.75, 0.9, 0.95, 0.99]) AS q, mad(ms) AS mad, count(*) AS samples
    FROM sample WHERE NOT warmup GROUP BY attempt
)
SELECT attempt, samples, q[2] AS p50, q[3] AS p75, q[4] AS p90, q[5] AS p95, q[6] AS p99, mad,
       (SELECT count(*) FROM sample s WHERE s.attempt = quartiles.attempt AND NOT warmup
            AND (ms < q[1] - 3 * (q[3] - q[1]) OR ms > q[3] + 3 * (q[3] - q[1]))) AS outliers
FROM quartiles;
