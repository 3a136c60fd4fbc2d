# The cache: one node, nothing on disk, no replica.
#
# A restored snapshot, or a lagging replica that becomes the master, brings back old values together with old watermarks,
# and then the cache may be stale (sinks/cache/__init__.py). A single node that fails comes back empty instead, which is
# safe: until then readers ask the graph, and fills start again when the worker has made new floors. So what makes other
# Redis servers more available is left out on purpose.

resource "aws_elasticache_subnet_group" "this" {
  name       = "${var.name}-redis"
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "The cache"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-redis" }
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-redis7"
  description = "The cache of holonstream"
  family      = "redis7"

  # Values live shorter than tombstones, so they are evicted first; watermarks do not expire and are never evicted.
  parameter {
    name  = "maxmemory-policy"
    value = "volatile-ttl"
  }
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV2_AWS_50:a replica that takes over may bring old values back, see above; a single node comes back empty
  replication_group_id = var.name
  description          = "The cache of holonstream"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.node_type
  parameter_group_name = aws_elasticache_parameter_group.this.name

  num_cache_clusters         = 1
  automatic_failover_enabled = false
  multi_az_enabled           = false
  snapshot_retention_limit   = 0

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.this.id]
  port               = 6379

  transit_encryption_enabled = true
  auth_token                 = var.password
  auth_token_update_strategy = "ROTATE" # the old one holds too until the processes have the new one
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn

  # An upgrade or a new size carries the entries over to a new node, not quite all of them: reboot it afterwards, which
  # empties it (docs/deploy.md). So a change is made while somebody is there, at `apply`, and what AWS does to the node by
  # itself in the maintenance window is told to `emails`.
  maintenance_window         = "sun:04:30-sun:05:30"
  auto_minor_version_upgrade = false
  apply_immediately          = true
  notification_topic_arn     = aws_sns_topic.node.arn
}

resource "aws_sns_topic" "node" {
  #checkov:skip=CKV_AWS_26:ElastiCache publishes to it, and has no right to a key of ours; a message names the node and what happened to it
  name = "${var.name}-redis-node"
}

resource "aws_sns_topic_subscription" "node" {
  for_each = var.emails

  topic_arn = aws_sns_topic.node.arn
  protocol  = "email"
  endpoint  = each.value
}
