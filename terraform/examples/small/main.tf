# The whole pipeline in its smallest form: to try it, or for a few events a second. Not for data that must be available.

locals {
  zones = [for letter in ["a", "b", "c"] : "${var.region}${letter}"]
}

module "network" {
  source = "../../modules/network"

  name        = var.name
  zones       = local.zones
  kms_key_arn = module.secrets.kms_key_arn

  nat_per_zone            = false
  interface_endpoints     = []
  flow_log_retention_days = 30
}

# Makes the passwords that the stores are given, and the connection strings from the addresses that they give back.
module "secrets" {
  source = "../../modules/secrets"

  name     = var.name
  postgres = module.postgres.place
  redis    = module.redis.place

  recovery_days = 0
}

module "postgres" {
  source = "../../modules/postgres"

  name           = var.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  kms_key_arn    = module.secrets.kms_key_arn
  owner_password = module.secrets.postgres_owner_password

  instance_class      = "db.t4g.medium"
  multi_az            = false
  storage_gib         = 20
  storage_limit_gib   = 100
  backup_days         = 7
  deletion_protection = false
  log_retention_days  = 30
}

module "kafka" {
  source = "../../modules/kafka"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  kms_key_arn = module.secrets.kms_key_arn

  instance_type      = "kafka.t3.small"
  storage_gib        = 20
  storage_limit_gib  = 100
  log_retention_days = 30
}

module "redis" {
  source = "../../modules/redis"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  kms_key_arn = module.secrets.kms_key_arn
  password    = module.secrets.redis_password
  emails      = var.emails

  node_type = "cache.t4g.micro"
}

module "neo4j" {
  source = "../../modules/neo4j"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_id   = module.network.private_subnet_ids[0]
  zone        = local.zones[0]
  kms_key_arn = module.secrets.kms_key_arn
  secret_arn  = module.secrets.neo4j_secret_arn

  instance_type      = "t3.large"
  memory             = { container = 6500, heap = 2048, page_cache = 2048 }
  volume_gib         = 20
  backup_days        = 3
  log_retention_days = 30
}

module "services" {
  source = "../../modules/services"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  kms_key_arn = module.secrets.kms_key_arn

  image              = var.image
  init_image         = var.init_image
  ecr_repository_arn = var.ecr_repository_arn
  running            = var.running

  postgres = {
    security_group_id = module.postgres.security_group_id
    port              = module.postgres.port
    owner_secret_arn  = module.secrets.postgres_owner_secret_arn
    relay_secret_arn  = module.secrets.postgres_relay_secret_arn
  }
  kafka = {
    security_group_id = module.kafka.security_group_id
    port              = module.kafka.port
    bootstrap         = module.kafka.bootstrap
    secret_arn        = module.kafka.secret_arn
    secret_key_arn    = module.kafka.secret_key_arn
  }
  neo4j = {
    security_group_id = module.neo4j.security_group_id
    port              = module.neo4j.port
    uri               = module.neo4j.uri
    certificate       = module.neo4j.certificate
    secret_arn        = module.secrets.neo4j_secret_arn
  }
  redis = {
    security_group_id = module.redis.security_group_id
    port              = module.redis.port
    secret_arn        = module.secrets.redis_secret_arn
  }

  partitions         = 6
  relay              = { cpu = 256, memory = 512, count = 2 }
  graph              = { cpu = 256, memory = 512, min = 1, max = 3 }
  cache              = { cpu = 256, memory = 512, min = 1, max = 3 }
  status_interval    = 60
  log_retention_days = 30
}

module "observability" {
  source = "../../modules/observability"

  name        = var.name
  kms_key_arn = module.secrets.kms_key_arn
  emails      = var.emails

  pipeline = {
    metric_namespace = module.services.metric_namespace
    cluster_name     = module.services.cluster_name
    service_names    = module.services.service_names
  }
  postgres_identifier  = module.postgres.identifier
  postgres_storage_gib = module.postgres.storage_gib
  kafka = {
    cluster_name = module.kafka.cluster_name
    brokers      = module.kafka.brokers
  }
  redis_node_id = module.redis.node_id
  neo4j = {
    metric_namespace = module.neo4j.metric_namespace
    cluster_name     = module.neo4j.cluster_name
    service_name     = module.neo4j.service_name
  }
}
