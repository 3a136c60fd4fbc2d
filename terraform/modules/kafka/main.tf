# Kafka: TLS on every connection, SASL/SCRAM-SHA-512 for every client, three replicas of which two must have a record.
#
# No topic is made here: `holonstream init` makes them, with retention for ever, so that views can be built again from
# offset zero. What Kafka holds can be made again from the log in PostgreSQL.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

resource "aws_security_group" "this" {
  name        = "${var.name}-kafka"
  description = "Kafka brokers"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-kafka" }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_msk_configuration" "this" {
  name = var.name

  # log.retention.ms: for ever, also for a topic that somebody makes without saying so.
  # unclean.leader.election.enable: MSK's default is true, which may lose committed records.
  # offsets.retention.minutes: ten years. A group whose offsets are forgotten reads from offset zero again.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=3
    log.retention.ms=-1
    min.insync.replicas=2
    offsets.retention.minutes=5256000
    unclean.leader.election.enable=false
  PROPERTIES

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.brokers

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.storage_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  client_authentication {
    unauthenticated = false

    sasl {
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  lifecycle {
    # It grows by itself, below.
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }
}

resource "aws_appautoscaling_target" "storage" {
  service_namespace  = "kafka"
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  resource_id        = aws_msk_cluster.this.arn
  min_capacity       = 1
  max_capacity       = var.storage_limit_gib
}

resource "aws_appautoscaling_policy" "storage" {
  name               = "${var.name}-kafka-storage"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.storage.service_namespace
  scalable_dimension = aws_appautoscaling_target.storage.scalable_dimension
  resource_id        = aws_appautoscaling_target.storage.resource_id

  target_tracking_scaling_policy_configuration {
    target_value     = 60
    disable_scale_in = true # storage of MSK never shrinks

    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

# The login. MSK wants a secret whose name starts with AmazonMSK_, under a key that is not AWS's own, and reads it itself.

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's policy speaks of this key only, and without this statement nobody could administer it
  #checkov:skip=CKV_AWS_111:as above
  #checkov:skip=CKV_AWS_356:as above; in a key's policy the resource is always written *
  statement {
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
}

resource "aws_kms_key" "login" {
  description             = "${var.name}: login to Kafka"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "login" {
  name          = "alias/${var.name}-kafka"
  target_key_id = aws_kms_key.login.key_id
}

resource "random_password" "login" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "login" {
  #checkov:skip=CKV2_AWS_57:rotated by `terraform apply -replace` and a restart of the processes (docs/deploy.md)
  name_prefix = "AmazonMSK_${var.name}_"
  description = "holonstream: login to Kafka"
  kms_key_id  = aws_kms_key.login.arn
}

resource "aws_secretsmanager_secret_version" "login" {
  secret_id     = aws_secretsmanager_secret.login.id
  secret_string = jsonencode({ username = "holonstream", password = random_password.login.result })
}

# To the letter what MSK writes there itself when the secret is associated: with anything else, each apply would take
# away what MSK had put back.
data "aws_iam_policy_document" "login" {
  #checkov:skip=CKV_AWS_108:the policy of one secret, for the service that checks logins by it
  statement {
    sid       = "AWSKafkaResourcePolicy"
    actions   = ["secretsmanager:getSecretValue"]
    resources = [aws_secretsmanager_secret.login.arn]

    principals {
      type        = "Service"
      identifiers = ["kafka.amazonaws.com"]
    }
  }
}

resource "aws_secretsmanager_secret_policy" "login" {
  secret_arn = aws_secretsmanager_secret.login.arn
  policy     = data.aws_iam_policy_document.login.json
}

resource "aws_msk_scram_secret_association" "login" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [aws_secretsmanager_secret.login.arn]

  depends_on = [aws_secretsmanager_secret_version.login, aws_secretsmanager_secret_policy.login]
}
