# The whole pipeline over three zones, for some thousands of events a second.

locals {
  zones = [for letter in ["a", "b", "c"] : "${var.region}${letter}"]
}

module "network" {
  source = "../../modules/network"

  name        = var.name
  zones       = local.zones
  kms_key_arn = module.secrets.kms_key_arn
}

# Makes the passwords that the stores are given, and the connection strings from the addresses that they give back.
module "secrets" {
  source = "../../modules/secrets"

  name     = var.name
  postgres = module.postgres.place
  redis    = module.redis.place
}

module "postgres" {
  source = "../../modules/postgres"

  name           = var.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  kms_key_arn    = module.secrets.kms_key_arn
  owner_password = module.secrets.postgres_owner_password

  instance_class    = "db.r7g.large"
  storage_gib       = 400
  storage_limit_gib = 4000
}

module "kafka" {
  source = "../../modules/kafka"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  kms_key_arn = module.secrets.kms_key_arn

  instance_type     = "kafka.m7g.large"
  storage_gib       = 500
  storage_limit_gib = 4000
}

module "redis" {
  source = "../../modules/redis"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  kms_key_arn = module.secrets.kms_key_arn
  password    = module.secrets.redis_password
  emails      = var.emails

  node_type = "cache.r7g.large"
}

module "neo4j" {
  source = "../../modules/neo4j"

  name        = var.name
  vpc_id      = module.network.vpc_id
  subnet_id   = module.network.private_subnet_ids[0]
  zone        = local.zones[0]
  kms_key_arn = module.secrets.kms_key_arn
  secret_arn  = module.secrets.neo4j_secret_arn

  instance_type = "r6i.xlarge"
  memory        = { container = 30000, heap = 10240, page_cache = 14336 }
  volume_gib    = 200
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

  partitions = 12
  relay      = { cpu = 1024, memory = 2048, count = 2 }
  graph      = { cpu = 1024, memory = 2048, min = 2, max = 12 }
  cache      = { cpu = 512, memory = 1024, min = 2, max = 12 }
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
