package infra.lib.terraform_test

import data.infra.lib.plans_test as plans
import data.infra.lib.terraform

real := data.infra.testdata.plan

named(address) := resource if {
	some resource in real.resource_changes
	resource.address == address
}

test_deleted_and_unchanged_resources_are_left_out if {
	buckets := terraform.changed.aws_s3_bucket with input as real
	{bucket.address | some bucket in buckets} == {"aws_s3_bucket.logs"}
	groups := terraform.changed.aws_security_group with input as real
	{group.address | some group in groups} == {"module.web.aws_security_group.this"}
}

test_replaced_resources_are_looked_at if {
	count(terraform.changed.aws_instance) == 1 with input as real
}

test_data_sources_are_left_out if {
	read := object.union(plans.create("aws_ami", "debian", {}), {"mode": "data"})
	not terraform.changed.aws_ami with input as plans.plan([read])
}

test_unknown_is_not_unset if {
	bucket := named("aws_s3_bucket.logs")
	terraform.unknown(bucket, "arn")
	not terraform.unknown(bucket, "bucket")
	not terraform.after(bucket, "arn")
	not terraform.after(bucket, "bucket_prefix")
	terraform.after(bucket, "bucket") == "example-logs-eu"
}

test_points_at_follows_a_reference if {
	block := named("aws_s3_bucket_public_access_block.logs")
	terraform.points_at(block, "bucket", named("aws_s3_bucket.logs")) with input as real
	not terraform.points_at(block, "bucket", named("aws_s3_bucket.old")) with input as real
}

test_points_at_follows_a_reference_inside_a_module if {
	instance := named("module.web.aws_instance.this[0]")
	group := named("module.web.aws_security_group.this")
	terraform.points_at(instance, "vpc_security_group_ids", group) with input as real
	outside := object.union(group, {"module_address": "module.other"})
	not terraform.points_at(instance, "vpc_security_group_ids", outside) with input as real
}

test_points_at_finds_modules_in_modules if {
	inner := {"resources": [{
		"type": "aws_s3_bucket_acl",
		"name": "a",
		"expressions": {"bucket": {"references": ["aws_s3_bucket.b.id", "aws_s3_bucket.b"]}},
	}]}
	outer := {"module_calls": {"inner": {"module": inner}}}
	nested := object.union(plans.plan([]), {"configuration": {"root_module": {"module_calls": {"outer": {"module": outer}}}}})
	place := {"module_address": `module.outer["eu"].module.inner[0]`}
	acl := object.union(plans.create("aws_s3_bucket_acl", "a", {}), place)
	bucket := object.union(plans.create("aws_s3_bucket", "b", {}), place)
	terraform.points_at(acl, "bucket", bucket) with input as nested
}

test_points_at_compares_values if {
	bucket := plans.create("aws_s3_bucket", "b", {"bucket": "one"})
	terraform.points_at(plans.create("aws_s3_bucket_acl", "a", {"bucket": "one"}), "bucket", bucket)
		with input as plans.plan([])
	not terraform.points_at(plans.create("aws_s3_bucket_acl", "a", {"bucket": "two"}), "bucket", bucket) with input as plans.plan([])
}

test_a_single_statement_is_a_list if {
	terraform.statements(`{"Statement": {"Effect": "Allow"}}`) == [{"Effect": "Allow"}]
	terraform.statements(`{"Statement": [{"Effect": "Deny"}]}`) == [{"Effect": "Deny"}]
}
