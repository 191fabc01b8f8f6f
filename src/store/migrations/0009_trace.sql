-- Where a cell leaves the oracle: it was run once more with every intermediate result kept. Layers are JSON, in the order in
-- which they ran. `traced_by` is the run in which that was done, where it is not the cell's own.
CREATE TABLE IF NOT EXISTS trace (
    run       VARCHAR NOT NULL,
    cell      VARCHAR NOT NULL,
    traced_at TIMESTAMP NOT NULL,
    traced_by VARCHAR,
    says      VARCHAR NOT NULL,
    layers    VARCHAR NOT NULL,
    PRIMARY KEY (run, cell)
);
