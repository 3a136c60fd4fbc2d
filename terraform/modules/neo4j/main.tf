# Neo4j, self-hosted: one container on ECS, on an EC2 instance of its own with a volume of its own.
#
# Why not Fargate: a task there can have EFS, a network file system on which Neo4j advises against keeping a database, or
# a volume that ECS makes new for each task. So an autoscaling group of one: when the instance dies the group starts
# another in the same zone, which takes the volume over and joins the cluster; ECS starts the container there. That takes
# a few minutes, in which the graph's workers wait and park nothing. Should the zone or the volume be lost, a backup or an
# empty volume will do: the workers continue from the checkpoint that they find in it.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  port      = 7687
  host      = "neo4j.${var.name}.internal"
  arn       = "arn:${data.aws_partition.current.partition}"
  here      = "${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
  namespace = "Holonstream/${var.name}"
}

resource "aws_security_group" "this" {
  name        = "${var.name}-neo4j"
  description = "The graph"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-neo4j" }
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Where the graph is"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "this" {
  name = "neo4j"

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/neo4j"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# Without aws:SourceAccount: for an execution role ECS does not promise to send it.
data "aws_iam_policy_document" "task_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "Secret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-neo4j-execution"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_ecs_task_definition" "this" {
  #checkov:skip=CKV_AWS_336:Neo4j's image writes its configuration into its own file system at start
  family                   = "${var.name}-neo4j"
  skip_destroy             = true # a rollback needs the old one
  requires_compatibilities = ["EC2"]
  network_mode             = "awsvpc"
  execution_role_arn       = aws_iam_role.execution.arn

  volume {
    name      = "graph"
    host_path = "/data/${var.graph}"
  }

  volume {
    name      = "tls"
    host_path = "/data/tls"
  }

  container_definitions = jsonencode([{
    name        = "neo4j"
    image       = var.image
    essential   = true
    user        = "7474:7474"
    memory      = var.memory.container
    stopTimeout = 120

    portMappings = [{ containerPort = local.port, protocol = "tcp" }]
    mountPoints = [
      { sourceVolume = "graph", containerPath = "/data", readOnly = false },
      { sourceVolume = "tls", containerPath = "/ssl", readOnly = true },
    ]
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

    environment = [for key, value in {
      NEO4J_server_bolt_tls__level                = "REQUIRED"
      NEO4J_dbms_ssl_policy_bolt_enabled          = "true"
      NEO4J_dbms_ssl_policy_bolt_base__directory  = "/ssl"
      NEO4J_dbms_ssl_policy_bolt_client__auth     = "NONE"
      NEO4J_dbms_usage__report_enabled            = "false"
      NEO4J_server_bolt_connection__keep__alive   = "5s" # a client takes a server that is silent for two of these for gone
      NEO4J_server_http_enabled                   = "false"
      NEO4J_server_memory_heap_initial__size      = "${var.memory.heap}m"
      NEO4J_server_memory_heap_max__size          = "${var.memory.heap}m"
      NEO4J_server_memory_pagecache_size          = "${var.memory.page_cache}m"
      NEO4J_db_tx__log_rotation_retention__policy = "2 days 4G"
    } : { name = key, value = value }]

    # HEALTHCHECK_PASSWORD is no setting of Neo4j's: those begin with NEO4J_, and one that it does not know stops it.
    secrets = [
      { name = "NEO4J_AUTH", valueFrom = "${var.secret_arn}:auth::" },
      { name = "HEALTHCHECK_PASSWORD", valueFrom = "${var.secret_arn}:password::" },
    ]

    # Until it has answered a query once it is healthy as long as its process lives: a recovery of the store may take an
    # hour, and a restart would begin it again. From then on Bolt must take a connection.
    healthCheck = {
      command     = ["CMD", "bash", "-c", file("${path.module}/health.sh")]
      interval    = 30
      timeout     = 20
      retries     = 5
      startPeriod = 120
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = "neo4j"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  name            = "neo4j"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "EC2"
  desired_count   = 1

  # Two servers must never open the same files: the old one ends before the new one starts.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  network_configuration {
    subnets         = [var.subnet_id]
    security_groups = [aws_security_group.this.id]
  }

  service_registries {
    registry_arn = aws_service_discovery_service.this.arn
  }

  depends_on = [aws_autoscaling_group.this, aws_iam_role_policy.execution]
}
