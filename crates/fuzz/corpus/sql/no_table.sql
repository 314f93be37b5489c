CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

