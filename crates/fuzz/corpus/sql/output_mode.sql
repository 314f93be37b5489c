CREATE TABLE s USING kafka OPTIONS ('subscribe' = 't');
CREATE STREAMING TABLE bronze_t TBLPROPERTIES ('output.mode' = 'update') AS SELECT * FROM STREAM s;
