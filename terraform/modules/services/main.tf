# The processes, each in its own ECS service, with its own role, security group, log and secrets: what one may reach, the
# others may not.
#
#   relay    one leads, one stands by
#   graph    the workers of the group that writes Neo4j; scale by their own lag
#   cache    the workers of the group that keeps Redis fresh; scale by theirs
#   status   reports how far every part is; the metrics and alarms are made of that (metrics.tf)
#   init     a task, no service: run at each deployment, makes schema, topics and constraints
#   logins   a task, no service: run once and after a change of password, makes the relay's login

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  services = ["relay", "graph", "cache", "status"]
  checked  = ["relay", "graph", "cache"] # those that run all the time and say how they are

  processes = {
    relay = {
      command = ["holonstream", "relay"]
      stores  = ["postgres_relay", "kafka"]
      size    = { cpu = var.relay.cpu, memory = var.relay.memory }
    }
    graph = {
      command = ["sh", "-c", "${local.trust_graph} && exec holonstream worker graph"]
      stores  = ["kafka", "neo4j"]
      size    = { cpu = var.graph.cpu, memory = var.graph.memory }
    }
    cache = {
      command = ["holonstream", "worker", "cache"]
      stores  = ["kafka", "redis"]
      size    = { cpu = var.cache.cpu, memory = var.cache.memory }
    }
    status = {
      # A report is many lines; a metric filter wants one.
      command = ["sh", "-c", "while :; do holonstream status --json | tr -d '\\n'; echo; sleep ${var.status_interval}; done"]
      stores  = ["postgres_relay", "kafka"]
      size    = { cpu = 256, memory = 512 }
    }
    init = {
      command = ["sh", "-c", "${local.trust_graph} && exec holonstream init"]
      stores  = ["postgres_owner", "kafka", "neo4j"]
      size    = { cpu = 512, memory = 1024 }
    }
    logins = {
      command = ["python", "-c", file("${path.module}/logins.py")]
      stores  = ["postgres_owner", "logins"]
      size    = { cpu = 256, memory = 512 }
    }
  }

  # The server's certificate comes as text, and the driver reads a file: this folder is the only one that can be written.
  trust_graph = "printf %s \"$NEO4J_CERTIFICATE\" >/dev/shm/neo4j.pem"

  # What a process gets for each store that it uses.
  stores = {
    postgres_owner = {
      environment = {}
      secrets     = { HOLONSTREAM_POSTGRES_DSN = var.postgres.owner_secret_arn }
      secret_arn  = var.postgres.owner_secret_arn
      key_arn     = var.kms_key_arn
      reach       = { security_group_id = var.postgres.security_group_id, port = var.postgres.port }
    }
    postgres_relay = {
      environment = {}
      secrets     = { HOLONSTREAM_POSTGRES_DSN = var.postgres.relay_secret_arn }
      secret_arn  = var.postgres.relay_secret_arn
      key_arn     = var.kms_key_arn
      reach       = { security_group_id = var.postgres.security_group_id, port = var.postgres.port }
    }
    logins = {
      environment = {}
      secrets     = { READER_DSN = var.postgres.relay_secret_arn }
      secret_arn  = var.postgres.relay_secret_arn
      key_arn     = var.kms_key_arn
      reach       = null
    }
    kafka = {
      environment = {
        HOLONSTREAM_KAFKA_BOOTSTRAP = var.kafka.bootstrap
        HOLONSTREAM_KAFKA_TLS       = "true"
      }
      secrets = {
        HOLONSTREAM_KAFKA_USER     = "${var.kafka.secret_arn}:username::"
        HOLONSTREAM_KAFKA_PASSWORD = "${var.kafka.secret_arn}:password::"
      }
      secret_arn = var.kafka.secret_arn
      key_arn    = var.kafka.secret_key_arn
      reach      = { security_group_id = var.kafka.security_group_id, port = var.kafka.port }
    }
    neo4j = {
      environment = {
        HOLONSTREAM_NEO4J_URI = var.neo4j.uri
        HOLONSTREAM_NEO4J_CA  = "/dev/shm/neo4j.pem"
        NEO4J_CERTIFICATE     = var.neo4j.certificate
      }
      secrets    = { HOLONSTREAM_NEO4J_PASSWORD = "${var.neo4j.secret_arn}:password::" }
      secret_arn = var.neo4j.secret_arn
      key_arn    = var.kms_key_arn
      reach      = { security_group_id = var.neo4j.security_group_id, port = var.neo4j.port }
    }
    redis = {
      environment = {}
      secrets     = { HOLONSTREAM_REDIS_URL = var.redis.secret_arn }
      secret_arn  = var.redis.secret_arn
      key_arn     = var.kms_key_arn
      reach       = { security_group_id = var.redis.security_group_id, port = var.redis.port }
    }
  }

  environment = merge({
    HOLONSTREAM_NAMESPACE   = var.namespace
    HOLONSTREAM_PARTITIONS  = tostring(var.partitions)
    HOLONSTREAM_REPLICATION = "3"
    HOLONSTREAM_LOG_FORMAT  = "json"
    # The file system is read-only; the only file ever made is Python's own test of whether this folder can be written.
    TMPDIR = "/dev/shm"
  }, var.settings)

  # Served inside the task only, for its health check: no rule lets anybody in.
  pages = { HOLONSTREAM_METRICS_PORT = "9464" }

  health_check = {
    command     = ["CMD", "python", "-m", "holonstream.ops.probe", "livez"]
    interval    = 15 # seconds
    timeout     = 5
    retries     = 3
    startPeriod = 60
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.processes

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.processes

  family                   = "${var.name}-${each.key}"
  skip_destroy             = true # a rollback needs the old one
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.size.cpu
  memory                   = each.value.size.memory
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # A worker or relay that cannot continue ends by itself, with a non-zero code (streams/app.py, streams/watchdog.py), and
  # ECS starts another. One that hangs fails its health check. The check asks whether it is alive, not whether it makes
  # progress: one that waits for its store is healthy, and a restart would not help.
  container_definitions = jsonencode([merge({
    name                   = each.key
    image                  = contains(local.services, each.key) ? var.image : coalesce(var.init_image, var.image)
    command                = each.value.command
    essential              = true
    user                   = var.user
    readonlyRootFilesystem = true
    stopTimeout            = 60

    linuxParameters = {
      initProcessEnabled = true # hands SIGTERM on
      capabilities       = { drop = ["ALL"] }
    }

    environment = [
      for key, value in merge(
        local.environment,
        { for key, value in local.pages : key => value if contains(local.checked, each.key) },
        [for store in each.value.stores : local.stores[store].environment]...
      ) : { name = key, value = value }
    ]
    secrets = [
      for key, value in merge([for store in each.value.stores : local.stores[store].secrets]...) :
      { name = key, valueFrom = value }
    ]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = each.key
      }
    }
  }, { for key, value in { healthCheck = local.health_check } : key => value if contains(local.checked, each.key) })])
}

# New tasks start before old ones stop, so an upgrade does not stop the pipeline: a new relay stands by until the old
# leader has gone, new workers share the partitions with the old ones. Tasks that keep dying are rolled back.

resource "aws_ecs_service" "fixed" {
  for_each = { relay = var.relay.count, status = 1 }

  name            = each.key
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this[each.key].arn
  launch_type     = "FARGATE"
  desired_count   = var.running ? each.value : 0
  propagate_tags  = "SERVICE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this[each.key].id]
    assign_public_ip = false
  }

  depends_on = [aws_iam_role_policy.execution]
}

resource "aws_ecs_service" "scaled" {
  for_each = local.groups

  name            = each.key
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this[each.key].arn
  launch_type     = "FARGATE"
  desired_count   = var.running ? each.value.min : 0
  propagate_tags  = "SERVICE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this[each.key].id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's, from then on
  }

  depends_on = [aws_iam_role_policy.execution]
}
