SELECT EventName, AWSRegion, count(),
    uniqExact(JSONExtractString(ifNull(RequestParameters, ''), 'instanceType')),
    uniqExact(JSONExtractString(ifNull(RequestParameters, ''), 'bucketName')),
    uniqExact(JSONExtractString(ifNull(RequestParameters, ''), 'roleArn')),
    uniqExact(JSONExtractString(ifNull(RequestParameters, ''), 'instancesSet', 'items', 1, 'imageId'))
FROM AWSCloudTrail
WHERE RequestParameters <> ''
GROUP BY EventName, AWSRegion
