CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events', 'schema.registry.ssl.ca.location' = '$HOME/ca.pem');

CREATE STREAMING TABLE bronze_events LOCATION '~/lake/events' AS SELECT * FROM STREAM events;
