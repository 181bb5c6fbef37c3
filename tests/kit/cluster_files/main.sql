-- Sequences, one row each, and a table of the unsharded keyspace.

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

INSERT INTO customer_seq (id, next_id, cache) VALUES (0, 1000000, 100);

INSERT INTO orders_seq (id, next_id, cache) VALUES (0, 1000000, 100);

CREATE TABLE note (
  id BIGINT NOT NULL AUTO_INCREMENT,
  body VARCHAR(200) NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE account_team (
  team VARCHAR(20) NOT NULL,
  account BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (team, account)
) ENGINE = InnoDB;

CREATE TABLE ticket_code (
  code VARCHAR(20) NOT NULL,
  keyspace_id VARBINARY(10) NOT NULL,
  PRIMARY KEY (code)
) ENGINE = InnoDB;

CREATE TABLE big (
  id BIGINT NOT NULL,
  body LONGBLOB NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;
