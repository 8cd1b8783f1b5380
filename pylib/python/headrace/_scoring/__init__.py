"""What training the tariff models is made of. Private: `headrace.scoring_train` is the door."""
