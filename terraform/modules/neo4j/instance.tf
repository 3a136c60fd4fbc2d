# The instance: an autoscaling group of one, in the volume's zone, which may attach that volume and nothing else.

resource "aws_security_group" "instance" {
  name        = "${var.name}-neo4j-instance"
  description = "The instance on which the graph runs; nobody calls it"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-neo4j-instance" }
}

resource "aws_vpc_security_group_egress_rule" "instance" {
  security_group_id = aws_security_group.instance.id
  description       = "HTTPS to AWS and to the registry of the image"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-neo4j"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

data "aws_iam_policy_document" "instance_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "instance" {
  #checkov:skip=CKV_AWS_111:ec2:DescribeVolumes and ecs:DiscoverPollEndpoint know no resources, cloudwatch:PutMetricData only a condition, which is there
  #checkov:skip=CKV_AWS_356:as above
  statement {
    sid = "Cluster"
    actions = [
      "ecs:DeregisterContainerInstance",
      "ecs:RegisterContainerInstance",
      "ecs:SubmitAttachmentStateChanges",
      "ecs:SubmitContainerStateChange",
      "ecs:SubmitTaskStateChange",
    ]
    resources = [aws_ecs_cluster.this.arn]
  }

  statement {
    sid       = "Agent"
    actions   = ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"]
    resources = ["${local.arn}:ecs:${local.here}:container-instance/${aws_ecs_cluster.this.name}/*"]
  }

  statement {
    sid       = "Find"
    actions   = ["ecs:DiscoverPollEndpoint", "ec2:DescribeVolumes"]
    resources = ["*"]
  }

  statement {
    sid       = "AttachVolume"
    actions   = ["ec2:AttachVolume"]
    resources = [aws_ebs_volume.this.arn]
  }

  statement {
    sid       = "AttachToItself"
    actions   = ["ec2:AttachVolume"]
    resources = ["${local.arn}:ec2:${local.here}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Name"
      values   = ["${var.name}-neo4j"]
    }
  }

  statement {
    sid       = "CertificatesKey"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.key.arn]
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"]
    resources = [var.kms_key_arn]
  }

  statement {
    sid       = "GrantKeyToVolume"
    actions   = ["kms:CreateGrant"]
    resources = [var.kms_key_arn]

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "VolumeUsage"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.namespace]
    }
  }
}

resource "aws_iam_role" "instance" {
  name               = "${var.name}-neo4j-instance"
  assume_role_policy = data.aws_iam_policy_document.instance_trust.json
}

resource "aws_iam_role_policy" "instance" {
  name   = "cluster-and-volume"
  role   = aws_iam_role.instance.id
  policy = data.aws_iam_policy_document.instance.json
}

# For `aws ssm start-session`: no key pair, no open port.
resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-neo4j"
  role = aws_iam_role.instance.name
}

resource "aws_launch_template" "this" {
  name_prefix            = "${var.name}-neo4j-"
  image_id               = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
  instance_type          = var.instance_type
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/instance.sh.tftpl", {
    cluster   = aws_ecs_cluster.this.name
    region    = data.aws_region.current.region
    volume    = aws_ebs_volume.this.id
    graph     = var.graph
    secret    = aws_secretsmanager_secret.key.arn
    cert      = tls_self_signed_cert.server.cert_pem
    namespace = local.namespace
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.instance.id]
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    # The account's default key: with ours, the autoscaling group's own role would need a grant. Nothing of value is on it.
    ebs {
      volume_type = "gp3"
      volume_size = 30
      encrypted   = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-neo4j" }
  }
}

resource "aws_autoscaling_group" "this" {
  name                      = "${var.name}-neo4j"
  min_size                  = 1
  max_size                  = 1
  desired_capacity          = 1
  vpc_zone_identifier       = [var.subnet_id]
  health_check_type         = "EC2"
  health_check_grace_period = 300

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # A changed template takes effect at once: the old instance must let go of the volume before the new one can have it.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 0
    }
  }

  tag {
    key                 = "Name"
    value               = "${var.name}-neo4j"
    propagate_at_launch = true
  }

  depends_on = [aws_iam_role_policy.instance, aws_secretsmanager_secret_version.key]
}
