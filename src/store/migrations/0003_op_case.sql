-- One op case on one backend of one browser in one run, with its verdict.
CREATE TABLE op_case (
    run            VARCHAR NOT NULL,
    browser        VARCHAR NOT NULL,
    backend        VARCHAR NOT NULL,
    "case"         VARCHAR NOT NULL,        -- the op's name and what is particular
    ordinal        UINTEGER NOT NULL,       -- place among the engine's cases
    op             VARCHAR NOT NULL,        -- WebNN's name, or the engine's extension's
    dtype          VARCHAR NOT NULL,        -- of the data it works on, in WebNN's words
    status         VARCHAR NOT NULL,
    flaky          BOOLEAN NOT NULL,
    evidence       VARCHAR NOT NULL,
    implementation VARCHAR,                 -- null if nothing answered
    max_abs        DOUBLE,                  -- largest |y - oracle|; null if not finite, or not compared
    ratio          DOUBLE,                  -- largest part of its tolerance that an element uses; null as above
    error          VARCHAR,                 -- why it is not a pass
    attempt        VARCHAR,                 -- null if none was made
    PRIMARY KEY (run, browser, backend, "case")
);
