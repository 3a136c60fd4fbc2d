# Passwords and the connection strings that hold them, and the one key that encrypts everything but MSK's own secret.
#
# Passwords are made here and so stand in Terraform's state: keep that in an encrypted bucket to which few have access.
# The stores take their passwords from here and give back their addresses, from which the connection strings are made.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  relay_login = "holonstream_relay"

  postgres_place = "${var.postgres.address}:${var.postgres.port}/${var.postgres.database}?${var.postgres_tls}&target_session_attrs=read-write"

  secrets = {
    postgres-owner = "postgresql://${var.postgres.owner}:${random_password.this["postgres-owner"].result}@${local.postgres_place}"
    postgres-relay = "postgresql://${local.relay_login}:${random_password.this["postgres-relay"].result}@${local.postgres_place}"
    redis          = "rediss://:${random_password.this["redis"].result}@${var.redis.address}:${var.redis.port}/0"
    neo4j = jsonencode({
      auth     = "neo4j/${random_password.this["neo4j"].result}"
      password = random_password.this["neo4j"].result
    })
  }
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's policy speaks of this key only, and without this statement nobody could administer it
  #checkov:skip=CKV_AWS_111:as above
  #checkov:skip=CKV_AWS_356:as above; in a key's policy the resource is always written *
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.current.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:*"]
    }
  }

  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: stores, secrets, logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json

  # The log's last snapshot and its backups are readable with this key only. To take a stack down: docs/deploy.md.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# Letters and digits only: they stand in URLs.
resource "random_password" "this" {
  for_each = toset(["postgres-owner", "postgres-relay", "redis", "neo4j"])

  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:rotated by `terraform apply -replace` and a restart of the processes (docs/deploy.md): a rotation function would have to change server and connection string at once
  for_each = toset(["postgres-owner", "postgres-relay", "redis", "neo4j"])

  name                    = "${var.name}/${each.key}"
  description             = "holonstream: ${each.key}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each = aws_secretsmanager_secret.this

  secret_id     = each.value.id
  secret_string = local.secrets[each.key]
}
