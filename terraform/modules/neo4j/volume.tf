# The volume that holds the graph, and its daily backups.

resource "aws_ebs_volume" "this" {
  availability_zone = var.zone
  type              = "gp3"
  size              = var.volume_gib
  encrypted         = true
  kms_key_id        = var.kms_key_arn

  tags = { Name = "${var.name}-neo4j" }
}

resource "aws_backup_vault" "this" {
  name          = "${var.name}-neo4j"
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.destroy_backups
}

resource "aws_backup_plan" "this" {
  name = "${var.name}-neo4j"

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this.name
    schedule          = "cron(0 3 * * ? *)"

    lifecycle {
      delete_after = var.backup_days
    }
  }
}

data "aws_iam_policy_document" "backup_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["backup.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "backup" {
  name               = "${var.name}-neo4j-backup"
  assume_role_policy = data.aws_iam_policy_document.backup_trust.json
}

resource "aws_iam_role_policy_attachment" "backup" {
  for_each = toset(["AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"])

  role       = aws_iam_role.backup.name
  policy_arn = "${local.arn}:iam::aws:policy/service-role/${each.key}"
}

resource "aws_backup_selection" "this" {
  name         = "${var.name}-neo4j"
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = aws_iam_role.backup.arn
  resources    = [aws_ebs_volume.this.arn]
}
