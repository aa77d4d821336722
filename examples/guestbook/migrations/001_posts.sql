CREATE TABLE posts(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    message text NOT NULL CHECK (length(message) BETWEEN 1 AND 2000)
);
