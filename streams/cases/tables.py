"""The tables of the view of cases, in SQLite."""

VERSION = 6
"""Of these tables. A file of another version is made again from the topics."""

TABLES = """
CREATE TABLE offsets (
    topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next INTEGER NOT NULL,        -- the offset to read next
    last INTEGER NOT NULL,        -- the offset of the last record that was read, or -1
    stamp INTEGER NOT NULL,       -- a hash of that record
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE scopes (
    scope INTEGER PRIMARY KEY, domain TEXT NOT NULL, tenant TEXT NOT NULL, UNIQUE (domain, tenant)
);

-- The current decision of every event: what it is, and where it is on its triaged topic.
CREATE TABLE decisions (
    id_hash INTEGER NOT NULL, scope INTEGER NOT NULL,
    revision INTEGER NOT NULL, human INTEGER NOT NULL, final INTEGER NOT NULL,
    content INTEGER NOT NULL,
    -- Where and when its message was read; the topic as a hash.
    from_topic INTEGER NOT NULL, from_partition INTEGER NOT NULL, from_offset INTEGER NOT NULL,
    received_s REAL NOT NULL,
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,    -- -1 if only its case was read
    first INTEGER NOT NULL,                                 -- the offset of revision 0, or -1
    num INTEGER,                                            -- of the event, if it is stored
    PRIMARY KEY (id_hash, scope)
) WITHOUT ROWID;

-- Revision 0 of the events that wait for the LLM tier, compressed: they may become cases.
CREATE TABLE waiting (
    id_hash INTEGER NOT NULL, scope INTEGER NOT NULL,
    received_s REAL NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (id_hash, scope)
) WITHOUT ROWID;

-- What a query filters by. Cases with the same values share a row, which counts them.
CREATE TABLE facets (
    facet INTEGER PRIMARY KEY,
    domain TEXT NOT NULL, queue TEXT NOT NULL, severity TEXT NOT NULL, tenant TEXT NOT NULL,
    source TEXT NOT NULL, escalation TEXT NOT NULL, disagreement TEXT NOT NULL,  -- '' if none
    open INTEGER NOT NULL DEFAULT 0, decided INTEGER NOT NULL DEFAULT 0,
    UNIQUE (domain, queue, severity, tenant, source, escalation, disagreement)
);

-- The events that are stored: cases, and those that a person decided without being asked.
CREATE TABLE cases (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id_hash INTEGER NOT NULL, scope INTEGER NOT NULL,
    state INTEGER NOT NULL,       -- 0 decided, 1 open, 2 never a case
    facet INTEGER NOT NULL,
    -- Negative, so that every order is an ascending one.
    calm INTEGER NOT NULL, minus_risk REAL NOT NULL, minus_rank INTEGER NOT NULL,
    received_s REAL NOT NULL, queue TEXT NOT NULL, decided_s REAL NOT NULL,
    fingerprint INTEGER,
    summary BLOB NOT NULL,
    bands BLOB                    -- its rows in `near`, while it is open
);
CREATE INDEX cases_by_urgency ON cases (state, calm, minus_risk, received_s, facet);
CREATE INDEX cases_by_risk ON cases (state, minus_risk, received_s, facet);
CREATE INDEX cases_by_age ON cases (state, received_s, facet);
CREATE INDEX cases_by_stated ON cases (state, minus_rank, minus_risk, received_s, facet);
CREATE INDEX cases_by_queue ON cases (state, queue, calm, minus_risk, received_s, facet);
CREATE INDEX cases_by_facet ON cases (state, facet);
CREATE INDEX cases_by_fingerprint ON cases (fingerprint, received_s) WHERE state = 1;

CREATE TRIGGER case_added AFTER INSERT ON cases BEGIN
    UPDATE facets SET open = open + (NEW.state = 1), decided = decided + (NEW.state = 0)
    WHERE facet = NEW.facet;
END;
CREATE TRIGGER case_removed AFTER DELETE ON cases BEGIN
    UPDATE facets SET open = open - (OLD.state = 1), decided = decided - (OLD.state = 0)
    WHERE facet = OLD.facet;
END;
CREATE TRIGGER case_changed AFTER UPDATE OF state, facet ON cases BEGIN
    UPDATE facets SET open = open - (OLD.state = 1), decided = decided - (OLD.state = 0)
    WHERE facet = OLD.facet;
    UPDATE facets SET open = open + (NEW.state = 1), decided = decided + (NEW.state = 0)
    WHERE facet = NEW.facet;
END;

-- The records of the events that are stored, compressed. The case has the revision -1.
CREATE TABLE records (
    num INTEGER NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL,
    verdict TEXT, trace TEXT,
    PRIMARY KEY (num, revision)
);

-- The open cases by their words: those with a band in common are nearly alike. A group holds cases
-- with the same fingerprint.
CREATE TABLE near (
    band INTEGER NOT NULL, grp INTEGER NOT NULL, num INTEGER NOT NULL,
    PRIMARY KEY (band, grp, num)
) WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5(title, body, content='', columnsize=0);

-- The last decisions, in the order in which they came.
CREATE TABLE arrivals (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, facet INTEGER NOT NULL, summary BLOB NOT NULL
);
"""
