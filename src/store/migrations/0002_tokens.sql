-- Tokens are timed within their sample; nothing had been written to the table before.
DROP TABLE token_event;

-- A new token of a timed inference.
CREATE TABLE token_event (
    attempt VARCHAR NOT NULL,
    sample  UINTEGER NOT NULL,              -- sample's index
    "index" UINTEGER NOT NULL,              -- counts up from 0
    ms      DOUBLE NOT NULL,                -- from the start of the inference
    PRIMARY KEY (attempt, sample, "index")
);

-- What the tokens of an attempt say of its decoder: medians over its samples. A clock too coarse to tell
-- the first token from the last gives no rate.
CREATE VIEW token_rate AS
WITH one AS (
    SELECT attempt, sample, min(ms) AS first_ms, max(ms) - min(ms) AS rest_ms, count(*) AS tokens
    FROM token_event GROUP BY attempt, sample
)
SELECT attempt,
       median(first_ms) AS time_to_first_token_ms,
       median((tokens - 1) * 1000 / rest_ms) FILTER (tokens > 1 AND rest_ms > 0) AS tokens_per_second
FROM one GROUP BY attempt;
