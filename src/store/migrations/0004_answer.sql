-- What the outputs that an attempt uploaded say, one row a thing: for people to check, and no part of any verdict.
CREATE TABLE answer (
    attempt VARCHAR NOT NULL,
    item    UINTEGER NOT NULL,              -- of the batch, from 0
    rank    UINTEGER NOT NULL,              -- the best is 0
    task    VARCHAR NOT NULL,               -- label ranking box text tokens embedding
    text    VARCHAR NOT NULL,               -- a label, a text, token ids; of an embedding, the other item
    score   DOUBLE,                         -- a probability; of an embedding, the cosine with the other item
    x0      DOUBLE,                         -- of a box, in pixels: left
    y0      DOUBLE,                         -- top
    x1      DOUBLE,                         -- right
    y1      DOUBLE,                         -- bottom
    PRIMARY KEY (attempt, item, rank)
);
