# Cloud Run's regions by price tier. Source: the product's locations page, read in November 2026. A region that opened
# later is added here: one line, and the validation of `region` and the prices follow.
locals {
  cloud_run_regions = {
    "africa-south1"           = 2
    "asia-east1"              = 1
    "asia-east2"              = 2
    "asia-northeast1"         = 1
    "asia-northeast2"         = 1
    "asia-northeast3"         = 2
    "asia-south1"             = 1
    "asia-south2"             = 2
    "asia-southeast1"         = 2
    "asia-southeast2"         = 2
    "asia-southeast3"         = 1
    "australia-southeast1"    = 2
    "australia-southeast2"    = 2
    "europe-central2"         = 2
    "europe-north1"           = 1
    "europe-north2"           = 1
    "europe-southwest1"       = 1
    "europe-west1"            = 1
    "europe-west10"           = 2
    "europe-west12"           = 2
    "europe-west2"            = 2
    "europe-west3"            = 2
    "europe-west4"            = 1
    "europe-west6"            = 2
    "europe-west8"            = 1
    "europe-west9"            = 1
    "me-central1"             = 2
    "me-central2"             = 2
    "me-west1"                = 1
    "northamerica-northeast1" = 2
    "northamerica-northeast2" = 2
    "northamerica-south1"     = 1
    "southamerica-east1"      = 2
    "southamerica-west1"      = 2
    "us-central1"             = 1
    "us-east1"                = 1
    "us-east4"                = 1
    "us-east5"                = 1
    "us-south1"               = 1
    "us-west1"                = 1
    "us-west2"                = 2
    "us-west3"                = 2
    "us-west4"                = 2
  }

  price_tier = local.cloud_run_regions[var.region]
}
