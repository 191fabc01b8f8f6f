-- How surprised a cell's model is by the texts that it was given to be scored by, JSON; null where it was given none. Its
-- numbers are metrics of the deciding attempt too, for queries.
ALTER TABLE cell ADD COLUMN IF NOT EXISTS perplexity VARCHAR;
