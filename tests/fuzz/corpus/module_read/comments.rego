# METADATA
# x

  package   infra.s3["c-d"].e
import rego.v1
