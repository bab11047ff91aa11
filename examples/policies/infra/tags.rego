# METADATA
# title: Every resource says who owns it and who pays
package infra.tags

import data.infra.lib.terraform

deny contains terraform.violation(resource, "tags.required", text) if {
	some resource in taggable
	some tag in object.keys(data.infra.settings.required_tags)
	not tags(resource)[tag]
	text := sprintf("tag %s is missing", [tag])
}

deny contains terraform.violation(resource, "tags.required", text) if {
	some resource in taggable
	some tag, pattern in data.infra.settings.required_tags
	value := tags(resource)[tag]
	not regex.match(pattern, value)
	text := sprintf("tag %s is %q, which does not match %s", [tag, value, pattern])
}

taggable contains resource if {
	some type in data.infra.settings.taggable
	some resource in terraform.changed[type]
}

# The provider's own default tags are in tags_all only.
tags(resource) := object.union_n([value |
	some attribute in ["tags", "tags_all"]
	value := terraform.after(resource, attribute)
])
