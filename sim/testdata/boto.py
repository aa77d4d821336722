# What a program does with boto3, against the endpoint of the environment. Called by TestTools.
import os
import urllib.request

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

b = "tool-boto3"
s = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
s.create_bucket(Bucket=b)


def tags():  # a set: S3 promises no order
    return {t["Key"]: t["Value"] for t in s.get_object_tagging(Bucket=b, Key=key)["TagSet"]}


key = "a b+ü%&"
s.put_object(Bucket=b, Key=key, Body=b"hello", Metadata={"k": "v"}, Tagging="x=1&y=2")
r = s.get_object(Bucket=b, Key=key)
assert r["Body"].read() == b"hello" and r["Metadata"] == {"k": "v"}, r
assert s.get_object(Bucket=b, Key=key, Range="bytes=1-2")["Body"].read() == b"el"
assert [o["Key"] for o in s.list_objects_v2(Bucket=b)["Contents"]] == [key]
try:
    s.get_object(Bucket=b, Key=key, IfNoneMatch=r["ETag"])
    assert False, "304 expected"
except ClientError as e:
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 304, e
assert tags() == {"x": "1", "y": "2"}
s.put_object_tagging(Bucket=b, Key=key, Tagging={"TagSet": [{"Key": "z", "Value": "3"}]})
assert tags() == {"z": "3"}
s.copy_object(Bucket=b, Key="copy", CopySource={"Bucket": b, "Key": key})
assert s.get_object(Bucket=b, Key="copy")["Body"].read() == b"hello"

s.put_bucket_versioning(Bucket=b, VersioningConfiguration={"Status": "Enabled"})
first = s.put_object(Bucket=b, Key="v", Body=b"1")["VersionId"]
s.put_object(Bucket=b, Key="v", Body=b"2")
s.delete_object(Bucket=b, Key="v")
l = s.list_object_versions(Bucket=b, Prefix="v")
assert [v["IsLatest"] for v in l["Versions"]] == [False, False] and l["DeleteMarkers"][0]["IsLatest"], l
assert s.get_object(Bucket=b, Key="v", VersionId=first)["Body"].read() == b"1"

rules = [
    {"ID": "z", "Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 3}},
    {"Status": "Disabled", "Filter": {"And": {"Prefix": "ü &<>", "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "c"}]}}, "Expiration": {"Days": 7}},
    {"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
]
s.put_bucket_lifecycle_configuration(Bucket=b, LifecycleConfiguration={"Rules": rules})
kept = s.get_bucket_lifecycle_configuration(Bucket=b)["Rules"]
rules[1]["ID"] = kept[1]["ID"]
assert kept == rules, kept
for bad, code in [({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, "InvalidRequest"), ({"Expiration": {"Days": 0}}, "InvalidArgument")]:
    try:
        s.put_bucket_lifecycle_configuration(Bucket=b, LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Filter": {}, **bad}]})
        assert False, "refusal expected"
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
s.delete_bucket_lifecycle(Bucket=b)
try:
    s.get_bucket_lifecycle_configuration(Bucket=b)
    assert False, "404 expected"
except ClientError as e:
    assert e.response["Error"]["Code"] == "NoSuchLifecycleConfiguration", e

url = s.generate_presigned_url("get_object", Params={"Bucket": b, "Key": "copy"})
assert urllib.request.urlopen(url).read() == b"hello"
try:
    urllib.request.urlopen(url.replace("copy", "v"))
    assert False, "403 expected"
except urllib.error.HTTPError as e:
    assert e.code == 403, e

for i in range(50):
    s.put_object(Bucket=b, Key="many/%04d" % i, Body=b"x")
pages = s.get_paginator("list_objects_v2").paginate(Bucket=b, Prefix="many/", PaginationConfig={"PageSize": 7})
assert sum(len(p.get("Contents", [])) for p in pages) == 50
r = s.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "many/%04d" % i} for i in range(50)]})
assert len(r["Deleted"]) == 50, r
