package infra.iam_test

import data.infra.iam
import data.infra.lib.plans_test as plans

document(statement) := json.marshal({"Version": "2012-10-17", "Statement": statement})

denied(type, after) := violations if {
	violations := iam.deny with input as plans.plan([plans.create(type, "x", after)])
}

policy(statement) := plans.texts(denied("aws_iam_policy", {"policy": document(statement)}))

trust(principal, extra) := denied("aws_iam_role", {"assume_role_policy": document(object.union(
	{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal},
	extra,
))})

test_everything_on_everything if {
	policy({"Effect": "Allow", "Action": "*", "Resource": "*"}) == {"policy allows * on every resource"}
	policy([{"Effect": "Allow", "Action": ["s3:GetObject", "iam:PassRole"], "Resource": ["*"]}]) == {"policy allows iam:PassRole on every resource"}
}

test_every_kind_of_document_is_read if {
	bad := document({"Effect": "Allow", "Action": "iam:*", "Resource": "*"})
	violations := iam.deny with input as plans.plan([plans.create(type, "x", {"policy": bad}) | some type in iam.documents])
	plans.broken(violations) == {[sprintf("%s.x", [type]), "iam.privileged"] | some type in iam.documents}
}

test_narrow_policies_pass if {
	policy({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::logs/*"}) == set()
	policy({"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}) == set()
	policy({"Effect": "Deny", "Action": "*", "Resource": "*"}) == set()
}

test_everything_but_is_refused if {
	policy({"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"}) == {"policy allows everything but a list (NotAction); list what is allowed"}
}

test_privileged_attachments if {
	attached := {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"}
	violations := iam.deny with input as plans.plan([plans.create(type, "x", attached) | some type in iam.attachments])
	plans.broken(violations) == {[sprintf("%s.x", [type]), "iam.privileged"] | some type in iam.attachments}
	plans.texts(violations) == {"attaches arn:aws:iam::aws:policy/AdministratorAccess"}
	denied("aws_iam_role_policy_attachment", {"policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}) == set()
}

test_trust_in_anyone if {
	plans.texts(trust({"AWS": "*"}, {})) == {"any AWS account may assume this role"}
	plans.texts(trust("*", {})) == {"any AWS account may assume this role"}
	trust({"AWS": "*"}, {"Condition": {"StringEquals": {"sts:ExternalId": "7"}}}) == set()
	trust({"Service": "ec2.amazonaws.com"}, {}) == set()
}
