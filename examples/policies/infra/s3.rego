# METADATA
# title: S3 buckets are private and encrypted
package infra.s3

import data.infra.lib.terraform

public_acls := {"public-read", "public-read-write", "authenticated-read", "website"}

switches := {"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"}

buckets := terraform.changed.aws_s3_bucket

deny contains terraform.violation(bucket, "s3.public", text) if {
	some bucket in buckets
	acl := terraform.after(bucket, "acl")
	acl in public_acls
	text := sprintf("bucket is public through acl %q", [acl])
}

deny contains terraform.violation(bucket, "s3.public", text) if {
	some bucket in buckets
	some other in terraform.changed.aws_s3_bucket_acl
	terraform.points_at(other, "bucket", bucket)
	acl := terraform.after(other, "acl")
	acl in public_acls
	text := sprintf("bucket is public through %s, acl %q", [other.address, acl])
}

deny contains terraform.violation(policy, "s3.public", text) if {
	some policy in terraform.changed.aws_s3_bucket_policy
	some statement in terraform.statements(terraform.after(policy, "policy"))
	statement.Effect == "Allow"
	anyone(statement.Principal)
	not statement.Condition
	text := "policy lets anyone in (Principal \"*\" without a Condition)"
}

deny contains terraform.violation(bucket, "s3.public", text) if {
	some bucket in buckets
	count(blocks_of(bucket)) == 0
	text := "bucket has no aws_s3_bucket_public_access_block"
}

deny contains terraform.violation(block, "s3.public", text) if {
	some block in terraform.changed.aws_s3_bucket_public_access_block
	off := sort([switch | some switch in switches; not terraform.after(block, switch)])
	count(off) > 0
	text := sprintf("public access stays possible: set %s", [concat(", ", off)])
}

deny contains terraform.violation(bucket, "s3.encryption", text) if {
	some bucket in buckets
	not encrypted(bucket)
	text := "bucket has no server-side encryption"
}

encrypted(bucket) if {
	some setting in terraform.changed.aws_s3_bucket_server_side_encryption_configuration
	terraform.points_at(setting, "bucket", bucket)
	some rule in terraform.after(setting, "rule")
	names_algorithm(rule)
}

# As it was written before version 4 of the provider.
encrypted(bucket) if {
	some setting in terraform.after(bucket, "server_side_encryption_configuration")
	some rule in setting.rule
	names_algorithm(rule)
}

names_algorithm(rule) if {
	some default_rule in rule.apply_server_side_encryption_by_default
	default_rule.sse_algorithm in {"AES256", "aws:kms", "aws:kms:dsse"}
}

blocks_of(bucket) := {block.address |
	some block in terraform.changed.aws_s3_bucket_public_access_block
	terraform.points_at(block, "bucket", bucket)
}

anyone("*")

anyone(principal) if "*" in terraform.as_array(principal.AWS)
