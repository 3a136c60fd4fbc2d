output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "A private subnet for each zone, in the order of the zones given."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]

  # What is started in them can reach AWS from its first second.
  depends_on = [aws_route.nat, aws_route.internet, aws_route_table_association.private, aws_vpc_endpoint.interface]
}

output "public_subnet_ids" {
  description = "A public subnet for each zone, in the order of the zones given."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}
