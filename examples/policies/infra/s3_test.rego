package infra.s3_test

import data.infra.lib.plans_test as plans
import data.infra.s3

bucket(extra) := plans.create("aws_s3_bucket", "b", object.union({"bucket": "b"}, extra))

closed := {switch: true | some switch in s3.switches}

block(values) := plans.create("aws_s3_bucket_public_access_block", "b", object.union({"bucket": "b"}, values))

encryption(algorithm) := plans.create("aws_s3_bucket_server_side_encryption_configuration", "b", {
	"bucket": "b",
	"rule": [{"apply_server_side_encryption_by_default": [{"sse_algorithm": algorithm}]}],
})

acl(value) := plans.create("aws_s3_bucket_acl", "b", {"bucket": "b", "acl": value})

policy(statement) := plans.create("aws_s3_bucket_policy", "b", {
	"bucket": "b",
	"policy": json.marshal({"Version": "2012-10-17", "Statement": [statement]}),
})

denied(changes) := violations if {
	violations := s3.deny with input as plans.plan(changes)
}

test_a_private_encrypted_bucket_passes if {
	every algorithm in ["AES256", "aws:kms", "aws:kms:dsse"] {
		denied([bucket({}), block(closed), encryption(algorithm), acl("private")]) == set()
	}
}

test_the_real_plan_passes if {
	count(s3.deny) == 0 with input as data.infra.testdata.plan
}

test_a_bare_bucket_lacks_both if {
	plans.broken(denied([bucket({})])) == {
		["aws_s3_bucket.b", "s3.encryption"],
		["aws_s3_bucket.b", "s3.public"],
	}
}

test_another_buckets_settings_do_not_count if {
	other := plans.create("aws_s3_bucket", "c", {"bucket": "c"})
	violations := denied([bucket({}), block(closed), encryption("AES256"), other])
	plans.broken(violations) == {["aws_s3_bucket.c", "s3.encryption"], ["aws_s3_bucket.c", "s3.public"]}
}

test_unknown_algorithms_do_not_count if {
	violations := denied([bucket({}), block(closed), encryption("rot13")])
	plans.texts(violations) == {"bucket has no server-side encryption"}
}

test_encryption_written_the_old_way if {
	inline := {"server_side_encryption_configuration": [{"rule": [{"apply_server_side_encryption_by_default": [{"sse_algorithm": "AES256"}]}]}]}
	denied([bucket(inline), block(closed)]) == set()
}

test_public_acls if {
	every value in s3.public_acls {
		separate := denied([bucket({}), block(closed), encryption("AES256"), acl(value)])
		plans.texts(separate) == {sprintf("bucket is public through aws_s3_bucket_acl.b, acl %q", [value])}
		inline := denied([bucket({"acl": value}), block(closed), encryption("AES256")])
		plans.texts(inline) == {sprintf("bucket is public through acl %q", [value])}
	}
}

test_an_open_block_is_named_switch_by_switch if {
	half := object.union(closed, {"block_public_policy": false, "block_public_acls": null})
	plans.texts(denied([bucket({}), block(half), encryption("AES256")])) == {"public access stays possible: set block_public_acls, block_public_policy"}
}

test_policies_for_anyone if {
	every principal in ["*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::123456789012:root", "*"]}] {
		statement := {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Principal": principal}
		plans.broken(denied([policy(statement)])) == {["aws_s3_bucket_policy.b", "s3.public"]}
		denied([policy(object.union(statement, {"Effect": "Deny"}))]) == set()
		conditional := object.union(statement, {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})
		denied([policy(conditional)]) == set()
	}
}
