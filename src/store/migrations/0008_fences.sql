-- The fences beyond which a timed inference is an outlier, so that whoever shows samples can mark them by the rule they are
-- counted by: three quartile ranges from the quartiles.
CREATE OR REPLACE VIEW timing AS
WITH quartiles AS (
    SELECT attempt, quantile_cont(ms, [0.25, 0.5, 0.75, 0.9, 0.95, 0.99]) AS q, mad(ms) AS mad, count(*) AS samples
    FROM sample WHERE NOT warmup GROUP BY attempt
), fenced AS (
    SELECT *, q[1] - 3 * (q[3] - q[1]) AS low, q[3] + 3 * (q[3] - q[1]) AS high FROM quartiles
)
SELECT attempt, samples, q[2] AS p50, q[3] AS p75, q[4] AS p90, q[5] AS p95, q[6] AS p99, mad,
       (SELECT count(*) FROM sample s WHERE s.attempt = fenced.attempt AND NOT warmup AND (ms < low OR ms > high)) AS outliers,
       low, high
FROM fenced;
