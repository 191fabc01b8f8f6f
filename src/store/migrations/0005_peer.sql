-- Another runtime that an attempt measured, in its own words.
CREATE TABLE peer (
    attempt  VARCHAR PRIMARY KEY,
    runtime  VARCHAR NOT NULL,              -- such as onnxruntime-web
    version  VARCHAR NOT NULL,
    provider VARCHAR NOT NULL,              -- the execution provider asked for
    threads  UINTEGER NOT NULL,
    placed   VARCHAR NOT NULL               -- nodes of the model by provider, JSON; empty if it did not say
);

-- One inference of ours and one of another runtime's, one right after the other in one page.
CREATE TABLE pair (
    attempt    VARCHAR NOT NULL,
    "index"    UINTEGER NOT NULL,           -- counts up from 0, warm-ups first
    warmup     BOOLEAN NOT NULL,
    ours_first BOOLEAN NOT NULL,
    ours_ms    DOUBLE NOT NULL,             -- from inputs in JavaScript's arrays to outputs in JavaScript's arrays
    peer_ms    DOUBLE NOT NULL,             -- between the same two points
    PRIMARY KEY (attempt, "index")
);
