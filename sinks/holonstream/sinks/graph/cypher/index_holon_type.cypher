// Pages of one type come in the order of this index.
CREATE INDEX __NAME__ IF NOT EXISTS FOR (n__HOLON_TYPE__) ON (n._id)
