# The server's certificate: signed by itself, trusted by anyone who is given it (output `certificate`), so that clients know
# with whom they speak. Its key comes to the instance from a secret.

resource "tls_private_key" "server" {
  algorithm = "RSA"
  rsa_bits  = 3072
}

resource "tls_self_signed_cert" "server" {
  private_key_pem       = tls_private_key.server.private_key_pem
  dns_names             = [local.host, "localhost"]
  validity_period_hours = 87600 # ten years
  allowed_uses          = ["digital_signature", "key_encipherment", "server_auth"]

  subject {
    common_name = local.host
  }
}

resource "aws_secretsmanager_secret" "key" {
  #checkov:skip=CKV2_AWS_57:replaced with its certificate by `terraform apply -replace` and a new instance
  name_prefix = "${var.name}/neo4j-key-"
  description = "holonstream: key of the graph's certificate"
  kms_key_id  = var.kms_key_arn
}

resource "aws_secretsmanager_secret_version" "key" {
  secret_id     = aws_secretsmanager_secret.key.id
  secret_string = tls_private_key.server.private_key_pem_pkcs8
}
