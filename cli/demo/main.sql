-- Sequences: one row each; the router takes ids in blocks of `cache`. Ids below 1000 are the sample rows'.

CREATE TABLE customer_seq (
  id BIGINT NOT NULL,
  next_id BIGINT NOT NULL,
  cache BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB COMMENT = 'vitess_sequence';

CREATE TABLE orders_seq (
  id BIGINT NOT NULL,
  next_id BIGINT NOT NULL,
  cache BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB COMMENT = 'vitess_sequence';

INSERT INTO customer_seq (id, next_id, cache) VALUES (0, 1000, 100);

INSERT INTO orders_seq (id, next_id, cache) VALUES (0, 1000, 100);
