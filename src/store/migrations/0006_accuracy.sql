-- What a cell's precision costs: how its weights were quantised, and its outputs beside those at full precision, JSON;
-- null at full precision. No part of any verdict. Its numbers are metrics of the deciding attempt too, for queries.
ALTER TABLE cell ADD COLUMN IF NOT EXISTS accuracy VARCHAR;
