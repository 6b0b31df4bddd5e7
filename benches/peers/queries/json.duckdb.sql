SELECT EventName, AWSRegion, count(*),
    count(DISTINCT coalesce(json_extract_string(RequestParameters, '$.instanceType'), '')),
    count(DISTINCT coalesce(json_extract_string(RequestParameters, '$.bucketName'), '')),
    count(DISTINCT coalesce(json_extract_string(RequestParameters, '$.roleArn'), '')),
    count(DISTINCT coalesce(json_extract_string(RequestParameters, '$.instancesSet.items[0].imageId'), ''))
FROM AWSCloudTrail
WHERE RequestParameters <> ''
GROUP BY EventName, AWSRegion
