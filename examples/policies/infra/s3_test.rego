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
	denied([bucket({}), block(closed), encryption("AES256"), acl("private")]) == set()
}

test_kms_encrypts_too if {
	denied([bucket({}), block(closed), encryption("aws:kms")]) == set()
	denied([bucket({}), block(closed), encryption("aws:kms:dsse")]) == set()
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
	safe := [block(closed), encryption("AES256")]
	buckets := [bucket({"acl": acl}) | some acl in {"private", "public-read", "public-read-write", "authenticated-read", "website"}]
	plans.texts(denied(array.concat(safe, buckets))) == {
		`bucket is public through acl "public-read"`,
		`bucket is public through acl "public-read-write"`,
		`bucket is public through acl "authenticated-read"`,
		`bucket is public through acl "website"`,
	}
}

test_a_public_acl_of_its_own if {
	violations := denied([bucket({}), block(closed), encryption("AES256"), acl("public-read")])
	plans.texts(violations) == {`bucket is public through aws_s3_bucket_acl.b, acl "public-read"`}
}

test_an_open_block_is_named_switch_by_switch if {
	half := object.union(closed, {"block_public_policy": false, "block_public_acls": null})
	plans.texts(denied([bucket({}), block(half), encryption("AES256")])) == {"public access stays possible: set block_public_acls, block_public_policy"}
}

lets_in(principal) := {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Principal": principal}

test_policies_for_anyone if {
	every principal in ["*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::123456789012:root", "*"]}] {
		plans.broken(denied([policy(lets_in(principal))])) == {["aws_s3_bucket_policy.b", "s3.public"]}
	}
	denied([policy(object.union(lets_in("*"), {"Effect": "Deny"}))]) == set()
	conditional := object.union(lets_in("*"), {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})
	denied([policy(conditional)]) == set()
}
