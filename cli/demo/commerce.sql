-- Runs once on every shard of `commerce`.

CREATE TABLE customer (
  customer_id BIGINT NOT NULL,
  name VARCHAR(100) NOT NULL,
  email VARCHAR(200) NOT NULL,
  country CHAR(2) NOT NULL,
  PRIMARY KEY (customer_id)
) ENGINE = InnoDB;

-- On the shard of its customer, so that a customer and their orders join on one shard.
CREATE TABLE orders (
  order_id BIGINT NOT NULL,
  customer_id BIGINT NOT NULL,
  sku VARCHAR(20) NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  ordered_at DATETIME NOT NULL,
  PRIMARY KEY (order_id),
  KEY by_customer (customer_id)
) ENGINE = InnoDB;

-- A reference table: every shard has all of its rows.
CREATE TABLE product (
  sku VARCHAR(20) NOT NULL,
  description VARCHAR(200) NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  PRIMARY KEY (sku)
) ENGINE = InnoDB;

INSERT INTO product (sku, description, price) VALUES
  ('SKU-LAMP', 'Desk lamp', 39.90),
  ('SKU-CHAIR', 'Office chair', 189.00),
  ('SKU-DESK', 'Standing desk', 449.00),
  ('SKU-MUG', 'Coffee mug', 8.50),
  ('SKU-PEN', 'Fountain pen', 24.00);
