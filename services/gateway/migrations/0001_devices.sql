-- Devices that have enrolled, whom each lets be introduced to it, and tokens that nobody has used yet.
CREATE TABLE devices (
    key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    name TEXT NOT NULL CHECK (length(name) <= 48),
    enrolled_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    host BLOB NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    client BLOB NOT NULL CHECK (length(client) = 32),
    PRIMARY KEY (host, client)
) STRICT, WITHOUT ROWID;

-- Of a token only its digest is kept: who reads the file can enrol nothing.
CREATE TABLE tokens (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    expires_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
