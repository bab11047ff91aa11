# METADATA
# title: Machines start from approved images
# description: The list of approved AMIs is in settings/data.json.
package infra.images

import data.infra.lib.terraform

# Where each type keeps the image it starts from.
attributes := {
	"aws_instance": "ami",
	"aws_launch_configuration": "image_id",
	"aws_launch_template": "image_id",
}

deny contains terraform.violation(resource, "images.approved", text) if {
	some type, attribute in attributes
	some resource in terraform.changed[type]
	image := terraform.after(resource, attribute)
	not data.infra.settings.approved_amis[image]
	text := sprintf("image %s is not approved", [image])
}

deny contains terraform.violation(resource, "images.approved", text) if {
	some type, attribute in attributes
	some resource in terraform.changed[type]
	terraform.unknown(resource, attribute)
	text := "image is not known before the plan is applied; name one that is approved"
}
