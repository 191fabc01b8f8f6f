-- The first schema. Every table's rows are consequences of journal records; ids are ULIDs or names,
-- never counters, so that databases of different machines can be merged by copying rows.

-- One execution of a plan.
CREATE TABLE run (
    run               VARCHAR PRIMARY KEY,  -- ULID: sorts by time
    matrix            VARCHAR NOT NULL,     -- name of the matrix
    started_at        TIMESTAMP NOT NULL,   -- UTC
    ended_at          TIMESTAMP,            -- UTC; null while it runs, or if it was killed
    exit_code         UTINYINT,             -- null as above
    interrupted       BOOLEAN,              -- stopped by a signal; null as above
    arguments         VARCHAR NOT NULL,     -- the command line, JSON list
    plan              VARCHAR NOT NULL,     -- the plan, JSON
    webmatrix_version VARCHAR NOT NULL,
    wire_version      UINTEGER NOT NULL,
    harness           VARCHAR NOT NULL      -- hash over the harness builds
);

-- Facts about the machine of a run.
CREATE TABLE environment (
    run   VARCHAR NOT NULL,
    name  VARCHAR NOT NULL,                 -- os, arch, cpu, cores, memory_bytes, ...
    value VARCHAR NOT NULL,
    PRIMARY KEY (run, name)
);

-- A browser that a run found, or was asked for and did not find.
CREATE TABLE browser (
    run            VARCHAR NOT NULL,
    label          VARCHAR NOT NULL,
    kind           VARCHAR NOT NULL,
    version        VARCHAR NOT NULL,        -- empty if not known
    channel        VARCHAR NOT NULL,
    path           VARCHAR NOT NULL,
    driver         VARCHAR NOT NULL,
    driver_version VARCHAR NOT NULL,
    problem        VARCHAR,                 -- why it cannot be used
    PRIMARY KEY (run, label)
);

-- A browser process, from start to end: what it was asked to be and what it said it is.
CREATE TABLE session (
    session    VARCHAR PRIMARY KEY,         -- ULID
    run        VARCHAR NOT NULL,
    browser    VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    start_ms   DOUBLE NOT NULL,             -- driver start to usable browser
    version    VARCHAR NOT NULL,
    facts      VARCHAR NOT NULL             -- flags, preferences, capabilities asked for and granted, JSON
);

-- What a probe found in a browser, one row a thing tried or told.
CREATE TABLE capability (
    attempt VARCHAR NOT NULL,               -- the probe
    area    VARCHAR NOT NULL,               -- webgpu webnn wasm environment timers
    name    VARCHAR NOT NULL,               -- power preference, device type, feature, fact
    run     VARCHAR NOT NULL,
    browser VARCHAR NOT NULL,
    present BOOLEAN NOT NULL,               -- the interface exists
    usable  BOOLEAN NOT NULL,               -- it answered correctly
    error   VARCHAR,                        -- in the browser's words
    ms      DOUBLE,
    facts   VARCHAR,                        -- what was learned, JSON
    PRIMARY KEY (attempt, area, name)
);

-- One point of the matrix in one run, with its verdict once it has one.
CREATE TABLE cell (
    run            VARCHAR NOT NULL,
    cell           VARCHAR NOT NULL,        -- browser/model@size/runtime/backend/precision/profile
    ordinal        UINTEGER NOT NULL,       -- place in the plan
    browser        VARCHAR NOT NULL,
    model          VARCHAR NOT NULL,
    size           VARCHAR NOT NULL,
    runtime        VARCHAR NOT NULL,
    backend        VARCHAR NOT NULL,
    "precision"    VARCHAR NOT NULL,
    profile        VARCHAR NOT NULL,
    status         VARCHAR,                 -- null: no verdict yet
    flaky          BOOLEAN,
    evidence       VARCHAR,
    implementation VARCHAR,                 -- null if nothing answered
    reason         VARCHAR,                 -- why not a pass, or why the evidence is not better
    reference      VARCHAR,                 -- where the independent answer comes from
    agreement      VARCHAR,                 -- output by output, JSON; null if nothing was compared
    attempt        VARCHAR,                 -- the attempt that decided; null if none was made
    wall_ms        DOUBLE,                  -- navigation to last message
    page_ms        DOUBLE,                  -- the page's own work
    decided_at     TIMESTAMP,
    PRIMARY KEY (run, cell)
);

-- One try at a cell, or a probe.
CREATE TABLE attempt (
    attempt    VARCHAR PRIMARY KEY,         -- ULID
    run        VARCHAR NOT NULL,
    cell       VARCHAR,                     -- null for a probe
    browser    VARCHAR NOT NULL,
    number     UINTEGER NOT NULL,           -- 1 for the first try
    session    VARCHAR,                     -- null on the host
    started_at TIMESTAMP NOT NULL,
    wall_ms    DOUBLE,                      -- null: never ended (killed controller)
    page_ms    DOUBLE,
    job        VARCHAR NOT NULL,            -- what the page was given, JSON
    variant    VARCHAR,                     -- harness build
    backend    VARCHAR,                     -- what the page says ran
    facts      VARCHAR,                     -- what it says about that, JSON
    "end"      VARCHAR,                     -- done failed deadline died no_page interrupted
    end_facts  VARCHAR,                     -- JSON
    status     VARCHAR,                     -- what this attempt alone makes of its cell
    evidence   VARCHAR,
    reason     VARCHAR,
    outputs    VARCHAR,                     -- file of the outputs, relative to the output folder
    outputs_sha256 VARCHAR
);

-- One timed inference.
CREATE TABLE sample (
    attempt VARCHAR NOT NULL,
    "index" UINTEGER NOT NULL,              -- counts up from 0, warm-ups first
    warmup  BOOLEAN NOT NULL,
    ms      DOUBLE NOT NULL,                -- inputs in to outputs read back
    PRIMARY KEY (attempt, "index")
);

-- A named number of an attempt. Phases of the job are `phase.module`, `phase.load`, ... in ms.
CREATE TABLE metric (
    attempt VARCHAR NOT NULL,
    name    VARCHAR NOT NULL,
    value   DOUBLE NOT NULL,
    unit    VARCHAR NOT NULL,
    PRIMARY KEY (attempt, name)
);

-- What executed an op in an attempt.
CREATE TABLE op_result (
    attempt VARCHAR NOT NULL,
    op      VARCHAR NOT NULL,
    backend VARCHAR NOT NULL,
    count   UBIGINT NOT NULL,               -- times per inference
    PRIMARY KEY (attempt, op, backend)
);

-- Two attempts that differ in one feature only.
CREATE TABLE feature_pair (
    run     VARCHAR NOT NULL,
    cell    VARCHAR NOT NULL,
    feature VARCHAR NOT NULL,
    without VARCHAR NOT NULL,               -- attempt
    "with"  VARCHAR NOT NULL,               -- attempt
    ratio   DOUBLE,                         -- median with / median without
    PRIMARY KEY (run, cell, feature)
);

-- Memory in use at a moment of an attempt.
CREATE TABLE memory_point (
    attempt VARCHAR NOT NULL,
    at_ms   DOUBLE NOT NULL,                -- page's clock
    kind    VARCHAR NOT NULL,               -- wasm, gpu, ...
    bytes   UBIGINT NOT NULL,
    PRIMARY KEY (attempt, at_ms, kind)
);

-- A token that a decoder gave.
CREATE TABLE token_event (
    attempt VARCHAR NOT NULL,
    "index" UINTEGER NOT NULL,
    token   BIGINT NOT NULL,
    at_ms   DOUBLE NOT NULL,                -- page's clock
    PRIMARY KEY (attempt, "index")
);

-- What page and driver had to say.
CREATE TABLE log_line (
    attempt VARCHAR NOT NULL,
    source  VARCHAR NOT NULL,               -- page driver
    line    UBIGINT NOT NULL,               -- message's seq, or line of the driver's last words
    at_ms   DOUBLE,                         -- page's clock
    level   VARCHAR NOT NULL,
    text    VARCHAR NOT NULL,
    PRIMARY KEY (attempt, source, line)
);
