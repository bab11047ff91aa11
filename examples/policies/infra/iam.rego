# METADATA
# title: Nobody is handed the whole account
package infra.iam

import data.infra.lib.terraform

# Resource types that carry a policy document.
documents := {
	"aws_iam_group_policy",
	"aws_iam_policy",
	"aws_iam_role_policy",
	"aws_iam_user_policy",
}

attachments := {
	"aws_iam_group_policy_attachment",
	"aws_iam_policy_attachment",
	"aws_iam_role_policy_attachment",
	"aws_iam_user_policy_attachment",
}

privileged := {
	"arn:aws:iam::aws:policy/AdministratorAccess",
	"arn:aws:iam::aws:policy/IAMFullAccess",
	"arn:aws:iam::aws:policy/PowerUserAccess",
}

# Actions that are enough to take everything else.
escalating := {"*", "iam:*", "iam:passrole", "iam:attachuserpolicy", "iam:putuserpolicy", "sts:assumerole"}

deny contains terraform.violation(resource, "iam.privileged", text) if {
	some type in documents
	some resource in terraform.changed[type]
	some statement in terraform.statements(terraform.after(resource, "policy"))
	statement.Effect == "Allow"
	"*" in terraform.as_array(statement.Resource)
	some action in terraform.as_array(statement.Action)
	lower(action) in escalating
	text := sprintf("policy allows %s on every resource", [action])
}

deny contains terraform.violation(resource, "iam.privileged", text) if {
	some type in documents
	some resource in terraform.changed[type]
	some statement in terraform.statements(terraform.after(resource, "policy"))
	statement.Effect == "Allow"
	statement.NotAction
	text := "policy allows everything but a list (NotAction); list what is allowed"
}

deny contains terraform.violation(resource, "iam.privileged", text) if {
	some type in attachments
	some resource in terraform.changed[type]
	arn := terraform.after(resource, "policy_arn")
	arn in privileged
	text := sprintf("attaches %s", [arn])
}

deny contains terraform.violation(resource, "iam.trust", text) if {
	some resource in terraform.changed.aws_iam_role
	some statement in terraform.statements(terraform.after(resource, "assume_role_policy"))
	statement.Effect == "Allow"
	everybody(statement.Principal)
	not statement.Condition
	text := "any AWS account may assume this role"
}

everybody("*")

everybody(principal) if "*" in terraform.as_array(principal.AWS)
