-- What operators decide, how they show who they are, and what was done.
CREATE TABLE bans (
    key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    banned_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE drained_relays (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;

-- Of a token only its digest is kept: who reads the file can command nothing.
CREATE TABLE operators (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    made_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
