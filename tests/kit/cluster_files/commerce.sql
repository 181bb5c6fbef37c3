-- Runs once on every shard of `commerce`; also in the plain database that answers are compared with.

CREATE TABLE customer (
  customer_id BIGINT NOT NULL,
  name VARCHAR(100) NOT NULL,
  email VARCHAR(200) NULL,
  country CHAR(2) NOT NULL,
  balance DECIMAL(12, 2) NOT NULL DEFAULT 0,
  PRIMARY KEY (customer_id),
  UNIQUE KEY by_email (email)
) ENGINE = InnoDB;

CREATE TABLE orders (
  order_id BIGINT NOT NULL,
  customer_id BIGINT NOT NULL,
  sku VARCHAR(20) NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  note VARCHAR(100) NULL,
  ordered_at DATETIME NOT NULL DEFAULT '2026-01-01 00:00:00',
  PRIMARY KEY (order_id),
  KEY by_customer (customer_id)
) ENGINE = InnoDB;

CREATE TABLE product (
  sku VARCHAR(20) NOT NULL,
  description VARCHAR(200) NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  PRIMARY KEY (sku)
) ENGINE = InnoDB;

INSERT INTO product (sku, description, price) VALUES
  ('LAMP', 'Desk lamp', 39.90),
  ('CHAIR', 'Office chair', 189.00),
  ('DESK', 'Standing desk', 449.00),
  ('MUG', 'Coffee mug', 8.50),
  ('PEN', 'Fountain pen', 24.00);

-- Keyed by xxhash.
CREATE TABLE device (
  serial VARCHAR(40) NOT NULL,
  label VARCHAR(100) NOT NULL,
  PRIMARY KEY (serial)
) ENGINE = InnoDB;

-- Keyed by unicode_loose_md5: 'Ada' and 'ADA' are one key, as they are for the column's collation.
CREATE TABLE nick (
  nick VARCHAR(40) NOT NULL,
  customer_id BIGINT NOT NULL,
  PRIMARY KEY (nick)
) ENGINE = InnoDB;

-- Owns two lookup vindexes; account_email is the table of one, main.account_team of the other.
CREATE TABLE account (
  id BIGINT NOT NULL,
  email VARCHAR(100) NULL,
  team VARCHAR(20) NULL DEFAULT 'none',
  note VARCHAR(50) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY by_email (email)
) ENGINE = InnoDB;

CREATE TABLE account_email (
  email VARCHAR(100) NOT NULL,
  keyspace_id VARBINARY(10) NOT NULL,
  PRIMARY KEY (email)
) ENGINE = InnoDB;

-- Owns a lookup vindex that is being filled: main.ticket_code is written and not asked.
CREATE TABLE ticket (
  id BIGINT NOT NULL,
  code VARCHAR(20) NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

-- For the fault tests: `owner` always equals `id`, `hits` counts acknowledged writes.
CREATE TABLE counter (
  id BIGINT NOT NULL,
  owner BIGINT NOT NULL,
  hits BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE wide (
  id BIGINT NOT NULL,
  pad VARBINARY(1024) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE everything (
  id BIGINT NOT NULL,
  ti TINYINT,
  tiu TINYINT UNSIGNED,
  sm SMALLINT,
  me MEDIUMINT,
  it INT,
  itu INT UNSIGNED,
  bi BIGINT,
  biu BIGINT UNSIGNED,
  fl FLOAT,
  db DOUBLE,
  de DECIMAL(30, 10),
  bt BIT(17),
  da DATE,
  tm TIME(6),
  dt DATETIME(6),
  ts TIMESTAMP(3) NULL,
  yr YEAR,
  ch CHAR(10),
  vc VARCHAR(200),
  bn BINARY(8),
  vb VARBINARY(200),
  tt TINYTEXT,
  tx TEXT,
  lt LONGTEXT,
  tb TINYBLOB,
  bl BLOB,
  lb LONGBLOB,
  en ENUM('small', 'größer', 'großartig'),
  st SET('red', 'green', 'blue'),
  js JSON,
  pt POINT,
  PRIMARY KEY (id)
) ENGINE = InnoDB;
