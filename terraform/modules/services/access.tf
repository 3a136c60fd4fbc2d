# Who may do what, and who may reach whom.

data "aws_iam_policy_document" "task_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

# For execution roles, without aws:SourceAccount: for these ECS does not promise to send it.
data "aws_iam_policy_document" "execution_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# As whom the processes run: without any right, since none calls AWS.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

# As whom ECS starts a process: pull the image, hand over this process's secrets, write its log.
data "aws_iam_policy_document" "execution" {
  for_each = local.processes

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = distinct([for store in each.value.stores : local.stores[store].secret_arn])
  }

  statement {
    sid       = "Keys"
    actions   = ["kms:Decrypt"]
    resources = distinct([for store in each.value.stores : local.stores[store].key_arn])
  }

  dynamic "statement" {
    for_each = var.ecr_repository_arn == null ? [] : [var.ecr_repository_arn]

    content {
      sid       = "Pull"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.ecr_repository_arn == null ? [] : ["*"] # it knows no resources

    content {
      sid       = "LogInToRegistry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "execution" {
  for_each = local.processes

  name               = "${var.name}-${each.key}-execution"
  assume_role_policy = data.aws_iam_policy_document.execution_trust.json
}

resource "aws_iam_role_policy" "execution" {
  for_each = local.processes

  name   = "start"
  role   = aws_iam_role.execution[each.key].id
  policy = data.aws_iam_policy_document.execution[each.key].json
}

resource "aws_security_group" "this" {
  for_each = local.processes

  name        = "${var.name}-${each.key}"
  description = "holonstream: ${each.key}; nobody calls it"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = local.processes

  security_group_id = aws_security_group.this[each.key].id
  description       = "HTTPS to AWS and to the registry of the image"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

locals {
  # From each process to each store that it uses, and nothing else.
  reaches = merge([
    for process, it in local.processes : {
      for store in it.stores : "${process}-${store}" => {
        process = process
        store   = local.stores[store].reach.security_group_id
        port    = local.stores[store].reach.port
      } if store != "logins"
    }
  ]...)
}

resource "aws_vpc_security_group_egress_rule" "store" {
  for_each = local.reaches

  security_group_id            = aws_security_group.this[each.value.process].id
  description                  = each.key
  referenced_security_group_id = each.value.store
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "store" {
  for_each = local.reaches

  security_group_id            = each.value.store
  description                  = "${var.name}: ${each.key}"
  referenced_security_group_id = aws_security_group.this[each.value.process].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}
