// What a program does with @aws-sdk/client-s3 and lib-storage, against the endpoint of the environment. Called by TestTools.
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, GetObjectAttributesCommand, DeleteObjectCommand} from '@aws-sdk/client-s3';
import {Upload} from '@aws-sdk/lib-storage';

const Bucket = 'tool-sdk-js';
const s3 = new S3Client({endpoint: process.env.AWS_ENDPOINT_URL, region: 'us-east-1', forcePathStyle: true});
const bytes = async (o) => Buffer.from(await o.Body.transformToByteArray());

await s3.send(new CreateBucketCommand({Bucket}));
const body = randomBytes(100_000);
for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256']) {
	await s3.send(new PutObjectCommand({Bucket, Key: ChecksumAlgorithm, Body: body, ChecksumAlgorithm}));
	const got = await s3.send(new GetObjectCommand({Bucket, Key: ChecksumAlgorithm, ChecksumMode: 'ENABLED'}));
	assert.ok(got['Checksum' + ChecksumAlgorithm]);
	assert.ok((await bytes(got)).equals(body));
}
await s3.send(new PutObjectCommand({Bucket, Key: 'lock', Body: 'a', IfNoneMatch: '*'}));
await assert.rejects(s3.send(new PutObjectCommand({Bucket, Key: 'lock', Body: 'b', IfNoneMatch: '*'})), {name: 'PreconditionFailed'});

const large = randomBytes(12 << 20);
await new Upload({client: s3, params: {Bucket, Key: 'large', Body: large}, partSize: 5 << 20}).done();
assert.ok((await bytes(await s3.send(new GetObjectCommand({Bucket, Key: 'large'})))).equals(large));
const about = await s3.send(new GetObjectAttributesCommand({Bucket, Key: 'large', ObjectAttributes: ['ObjectSize', 'ETag', 'Checksum']}));
assert.equal(about.ObjectSize, large.length);
assert.ok(about.ETag && about.Checksum);
assert.equal((await s3.send(new HeadObjectCommand({Bucket, Key: 'large'}))).ContentLength, large.length);
assert.equal((await s3.send(new ListObjectsV2Command({Bucket}))).KeyCount, 7);
for (const Key of ['two\nlines', 'two\r\nlines: with a header']) {
	await s3.send(new PutObjectCommand({Bucket, Key, Body: Key}));
	assert.equal(String(await bytes(await s3.send(new GetObjectCommand({Bucket, Key})))), Key);
	assert.deepEqual((await s3.send(new ListObjectsV2Command({Bucket, Prefix: Key}))).Contents.map(o => o.Key), [Key]);
	await s3.send(new DeleteObjectCommand({Bucket, Key}));
}
